/* The engine sleeps on two descriptors: one that callers write to, and a hold's
 * timer, which bounds how long they may take to answer what they were told. */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

enum {
    HOLD_US = 500, /* less than a round trip: a bundle is hardly later */
    HOLD_OPS = 64, /* a signature is cheap enough among so many */
};

int intake_open(struct intake *in)
{
    in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->wake_fd < 0) {
        in->hold.fd = -1;
        return -errno;
    }
    return hold_open(&in->hold);
}

void intake_close(struct intake *in)
{
    struct op *op, *next;
    struct control *control, *more;

    DL_FOREACH_SAFE (in->ops, op, next)
        op_free(op);
    DL_FOREACH_SAFE (in->controls, control, more)
        free(control);
    if (in->wake_fd >= 0)
        close(in->wake_fd);
    hold_close(&in->hold);
}

void intake_look(struct intake *in)
{
    in->is_handed = in->is_awake = true;
    in->held = 0;
}

void intake_wake(struct intake *in)
{
    bool was_awake = in->is_awake;
    uint64_t one = 1;

    intake_look(in);
    if (was_awake)
        return;
    if (in->seat)
        hub_due(in->seat);
    else if (write(in->wake_fd, &one, sizeof one) < 0)
        in->is_awake = false; /* full: it is readable already */
}

static int64_t hold_us(const struct intake *in)
{
    return in->hold_us > HOLD_US ? in->hold_us : HOLD_US;
}

/* The answers to what was taken long ago are not coming. */
static bool wait_begin(struct intake *in)
{
    if (hold_clock_us() - in->since_us >= hold_us(in))
        return false;
    hold_begin(&in->hold, in->since_us + hold_us(in));
    return true;
}

/* True: it is held no longer, with all that was put in before. */
static bool answered(struct intake *in)
{
    if (in->expected)
        in->expected--;
    if (in->is_handed)
        return false; /* it goes along */
    return in->expected == 0 || ++in->held >= HOLD_OPS ||
           (in->held == 1 && !wait_begin(in));
}

bool intake_op(struct intake *in, struct op *op, bool waits)
{
    DL_APPEND(in->ops, op);
    in->op_count++;
    if (!waits)
        return answered(in);
    in->held += !in->is_handed;
    return false;
}

static void control_add(struct intake *in, struct control control)
{
    struct control *c = malloc(sizeof *c);

    if (!c)
        return;
    *c = control;
    DL_APPEND(in->controls, c);
}

void intake_cancel(struct intake *in, uint64_t id)
{
    control_add(in, (struct control){.id = id, .is_cancel = true});
    intake_wake(in);
}

void intake_credit(struct intake *in, uint64_t id, int64_t more,
                   enum credit why)
{
    struct control *last = in->controls ? in->controls->prev : NULL;

    if (last && !last->is_cancel && last->id == id && last->more > 0 &&
        more > 0)
        last->more += more;
    else
        control_add(in, (struct control){.id = id, .more = more});
    if (why == CREDIT_WAITS)
        in->held += !in->is_handed;
    else if (why == CREDIT_NOW || answered(in))
        intake_wake(in);
}

void intake_told(struct intake *in, unsigned events)
{
    if (events == 0)
        return;
    in->expected += events;
    in->is_taken = false;
    in->since_us = hold_clock_us();
}

/* A caller may come late, when others had the processor; but once he takes, he
 * answers soon or not at all. */
void intake_taken(struct intake *in)
{
    if (in->is_taken)
        return;
    in->is_taken = true;
    in->since_us = hold_clock_us();
}

bool intake_keep(struct intake *in)
{
    if (in->expected == 0)
        return false;
    in->is_kept = true;
    hold_begin(&in->hold, hold_clock_us() + hold_us(in));
    return true;
}

void intake_hand(struct intake *in)
{
    in->expected = 0;
    in->is_handed |= in->held > 0;
    in->held = 0;
}

void intake_drawn(struct intake *in)
{
    in->expected = 0;
    if (in->held || in->is_kept)
        intake_wake(in);
}

static void count_take(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof count) < 0)
        return; /* it was read before */
}

bool intake_drain(struct intake *in, unsigned readable)
{
    if (readable & 1)
        count_take(in->wake_fd);
    return (readable & 2) && hold_look(&in->hold);
}

bool intake_ready(const struct intake *in)
{
    return in->is_handed && (in->ops || in->controls);
}

void intake_take(struct intake *in, bool now, struct op **ops,
                 struct control **controls)
{
    *ops = NULL;
    *controls = NULL;
    if (now)
        in->expected = 0;
    if (!now && !in->is_handed)
        return;
    in->is_handed = in->is_kept = false;
    in->held = 0;
    *ops = in->ops;
    *controls = in->controls;
    in->ops = NULL;
    in->op_count = 0;
    in->controls = NULL;
    hold_end(&in->hold);
}
