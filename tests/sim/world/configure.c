/* How the broker of the world is configured. */
#include <stdlib.h>

#include "tests/sim/world/disk.h"
#include "tests/sim/world/world.h"

static void complain(void *arg, const char *message)
{
    (void)arg;
    fprintf(stderr, "world: %s\n", message);
}

void world_configure(struct world *w)
{
    struct config *c = config_default();
    char data[128];

    snprintf(data, sizeof data, DISK_ROOT "/%s", w->o.place);
    if (!c || config_set(c, "data", data, false, "world", complain, NULL))
        abort();
    w->rig.config = c;
    c->value_bytes_max = 400;
    c->bundle_bytes_max = 16 << 10;
    c->segment_bytes = 64 << 10;
    c->preallocate = world_any(2) == 0;
    c->checkpoint_entries = 100 + world_any(300);
    c->compact_entries = world_any(4) == 0 ? 200 + world_any(800) : 0;
    c->session_idle_s = 20;
    c->leases_per_agent_max = 3;
    c->queue_tasks_max = 20;
    c->terminal_tasks_kept = 20;
    c->operation_ids_kept = 200;
    c->lease_ms_default = 1000;
    c->backoff_ms_default = 20;
    c->max_attempts_default = 3;
    c->messages_per_agent_max = 30;
    c->mailbox_messages_max = 6;
    c->mailbox_bytes_max = 1200;
    c->topic_messages_max = 6;
    c->topic_entries_kept = 100 + world_any(300);
    c->marks_per_agent_max = 4;
    c->partials_per_task_max = 5;
    w->model.limits = (struct model_limits){
        .value_bytes = c->value_bytes_max,
        .queue_tasks = c->queue_tasks_max,
        .leases_per_agent = c->leases_per_agent_max,
        .messages_per_agent = c->messages_per_agent_max,
        .mailbox_messages = c->mailbox_messages_max,
        .mailbox_bytes = c->mailbox_bytes_max,
        .topic_messages = c->topic_messages_max,
        .marks_per_agent = c->marks_per_agent_max,
        .partials_per_task = c->partials_per_task_max,
    };
}
