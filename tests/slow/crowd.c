/* Ten thousand agents connected at once, each with ten watches: they all come
 * in, cost the broker little while nothing happens, hear what concerns them,
 * and slow nobody down.
 *
 *   CROWD=1000 build/tests/slow/crowd      for fewer
 *
 * test-timeout: 300 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/curve_raw.h"
#include "tests/support/daemon.h"
#include "tests/support/rig.h"

enum {
    CROWD = 10000,
    PROCESSES = 4,
    WATCHES = 10, /* each; the last of them on what all watch */
    PUTS = 5000,
    AGENT_KIB = 64, /* of the broker's memory, each with its watches */
    IDLE_S = 11,
    IDLE_PERCENT_MAX = 5, /* of a core */
    GONE_S = 60,          /* 15, and what others leave us of the machine */
};

/* What the processes share. */
struct board {
    _Atomic unsigned in, heard;
    _Atomic bool over;
};

static struct board *board;
static struct rig rig;
static struct actor *actors, writer;
static unsigned crowd;
static struct daemon broker;
static uint8_t server[KEY_CURVE_BYTES];
static struct hash ledger;
static uint64_t epoch, size;

/* --- One agent ----------------------------------------------------------- */

static int enter_with(struct curve_raw *c, const struct actor *a, int receive)
{
    const char *port = strrchr(broker.url, ':');
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port + 1))};
    const struct linger at_once = {.l_onoff = 1};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (receive)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        return -1;
    return curve_raw_open(c, fd, &a->curve, server);
}

static int enter(struct curve_raw *c, const struct actor *a)
{
    return enter_with(c, a, 0);
}

static void op_add(struct actor *a, const struct msg *op)
{
    struct buf head = {0};

    msg_encode(op, &head);
    bundle_add(&a->writer, buf_bytes(&head), (struct bytes){0});
    buf_free(&head);
}

static int send_bundle(struct curve_raw *c, struct actor *a, unsigned kind)
{
    struct bundle_facts facts = {
        .kind = (uint8_t)kind,
        .ledger = ledger,
        .agent = a->id,
        .session = a->session,
        .prev_hash = kind == BUNDLE_RECORD ? a->prev_hash : (struct hash){{0}},
        .first_seq = kind == BUNDLE_RECORD ? a->next_seq : a->asks + 1,
        .answered = a->next_seq - 1,
        .epoch = epoch,
        .time = test_now_us(),
    };
    struct buf frame = {0};
    struct hash hash;
    int r = bundle_finish(&a->writer, &facts, &a->key, &frame, &hash);

    if (kind == BUNDLE_RECORD) {
        a->prev_hash = hash;
        a->next_seq += a->writer.count;
    }
    if (!r)
        r = curve_raw_send(c, frame.p, frame.n, 0);
    buf_free(&frame);
    return r;
}

static int watch_all(struct curve_raw *c, struct actor *a, unsigned number)
{
    char prefix[64];
    struct msg m;

    bundle_begin(&a->writer);
    for (unsigned i = 0; i < WATCHES; i++) {
        snprintf(prefix, sizeof prefix, "agent/%u/inbox/%u/", number, i);
        msg_init(&m, MSG_WATCH);
        msg_set_u(&m, FIELD_WATCH, i + 1);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_PREFIX, i + 1 < WATCHES ? prefix : "all/");
        msg_set_u(&m, FIELD_REVISION, size);
        msg_set_u(&m, FIELD_CREDIT, 1000);
        op_add(a, &m);
    }
    return send_bundle(c, a, BUNDLE_ASK);
}

/* Items of that verb and outcome in a frame; -1 if it is none. */
static int items_of(struct bytes frame, enum message verb)
{
    struct answer a;
    struct msg item;
    int n = 0;

    if (answer_open(&a, frame))
        return -1;
    while (answer_next(&a, &item) == 0)
        n += item.verb == verb && msg_u(&item, FIELD_OUTCOME) == 0;
    return n;
}

/* Of the record, as a frame from the broker states it. */
static uint64_t size_of(struct bytes frame)
{
    struct answer a;

    return answer_open(&a, frame) ? 0 : a.size;
}

/* Until so many items of that verb have come. */
static int hear(struct curve_raw *c, struct buf *frame, enum message verb,
                int wanted)
{
    int n = 0, got;

    while (n < wanted) {
        int r = curve_raw_take(c, frame);

        got = r == 1 ? items_of(buf_bytes(frame), verb) : r;
        if (got < 0)
            return -1;
        n += got;
    }
    return 0;
}

/* --- A process full of them ---------------------------------------------- */

static int events_serve(int poller, struct curve_raw *all, struct buf *frame,
                        int wait_ms)
{
    struct epoll_event events[4096];
    int n = epoll_wait(poller, events, 4096, wait_ms);

    for (int i = 0; i < n; i++) {
        int r = curve_raw_take(&all[events[i].data.u32], frame);
        int heard = r == 1 ? items_of(buf_bytes(frame), MSG_CHANGE) : r;

        if (heard < 0)
            return -1;
        atomic_fetch_add(&board->heard, (unsigned)heard);
    }
    return 0;
}

/* Agents first, first + PROCESSES, ... */
static int crowd_run(void *arg)
{
    unsigned first = *(unsigned *)arg, n = 0;
    struct curve_raw *all = calloc(crowd, sizeof *all);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct buf frame = {0};

    for (unsigned i = first; i < crowd; i += PROCESSES) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = n};

        if (enter(&all[n], &actors[i]) || watch_all(&all[n], &actors[i], i) ||
            hear(&all[n], &frame, MSG_REPLY, WATCHES) ||
            epoll_ctl(poller, EPOLL_CTL_ADD, all[n].fd, &e))
            return 1;
        n++;
        atomic_fetch_add(&board->in, 1);
        if (n % 64 == 0 && events_serve(poller, all, &frame, 0))
            return 2;
    }
    while (!atomic_load(&board->over)) {
        if (events_serve(poller, all, &frame, 100))
            return 3;
    }
    buf_free(&frame);
    return 0;
}

/* --- The broker ---------------------------------------------------------- */

static void files_raise(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < crowd + 256) {
        fprintf(stderr, "only %u files may be open here\n",
                (unsigned)limit.rlim_max);
        crowd = (unsigned)limit.rlim_max - 256;
    }
}

/* A record in which they are all enrolled already, with a session each. */
static void record_make(const char *dir)
{
    char name[32];

    setenv("TMPDIR", test_dir(), 1);
    rig_open(&rig);
    actors = calloc(crowd, sizeof *actors);
    actor_join(&rig, &writer, "writer", "*", 127);
    for (unsigned i = 0; i < crowd; i++) {
        snprintf(name, sizeof name, "agent-%u", i);
        actor_join(&rig, &actors[i], name, "*", 127);
    }
    memcpy(server, core_curve(rig.core)->public_key, sizeof server);
    ledger = rig_state(&rig)->ledger;
    epoch = rig_state(&rig)->epoch;
    size = rig_state(&rig)->size;
    CHECK_OK(core_close_clean(rig.core));
    core_destroy(&rig.core);
    daemon_init(&broker, dir);
    rmdir(broker.data);
    CHECK_OK(rename(rig.dir, broker.data));
    config_destroy(&rig.config);
    env_destroy(&rig.env);
}

static long resident_kib(void)
{
    char path[64], line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)broker.pid);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    if (f)
        fclose(f);
    return kib;
}

/* Processor time that the broker has used, in us. */
static double used_us(void)
{
    struct timespec t;
    clockid_t clock;

    CHECK_OK(clock_getcpuclockid(broker.pid, &clock));
    CHECK_OK(clock_gettime(clock, &t));
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put_value(struct curve_raw *c, const char *key, struct bytes value)
{
    struct buf frame = {0};
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    actor_begin(&writer);
    actor_add(&writer, &m, &value, 1);
    CHECK_OK(send_bundle(c, &writer, BUNDLE_RECORD));
    CHECK_OK(hear(c, &frame, MSG_DONE_ALL, 1));
    size = size_of(buf_bytes(&frame));
    buf_free(&frame);
}

static void put(struct curve_raw *c, const char *key)
{
    put_value(c, key, bytes_text("value"));
}

/* Nothing happens. */
static void rest(struct curve_raw *c, uint64_t ms)
{
    uint64_t until = test_now_us() + ms * 1000;
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    struct buf frame = {0};

    while (test_now_us() < until) {
        if (poll(&p, 1, 10) == 1)
            CHECK(curve_raw_take(c, &frame) >= 0);
    }
    buf_free(&frame);
}

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The broker's processor time for a put of one, in us. */
static double put_us(struct curve_raw *c, double *median_us)
{
    static double us[PUTS];
    double used = used_us();
    char key[32];

    for (unsigned i = 0; i < PUTS; i++) {
        uint64_t began = test_now_us();

        snprintf(key, sizeof key, "key/%u", i);
        put(c, key);
        us[i] = (double)(test_now_us() - began);
    }
    qsort(us, PUTS, sizeof *us, less);
    *median_us = us[PUTS / 2];
    return (used_us() - used) / PUTS;
}

static void wait_until(struct curve_raw *c, _Atomic unsigned *what,
                       unsigned wanted, unsigned s)
{
    for (unsigned i = 0; i < 100 * s && atomic_load(what) < wanted; i++)
        rest(c, 10);
    CHECK_EQ(atomic_load(what), wanted);
}

/* The kernel gives up on it, and with that so do we. */
TEST(peer_that_takes_nothing_in_is_cut_after_a_while)
{
    static char value[60000];
    struct curve_raw c, deaf;
    struct pollfd p;

    crowd = 1;
    record_make("deaf");
    CHECK_OK(daemon_start(&broker, NULL));
    CHECK_OK(enter(&c, &writer));
    CHECK_OK(enter_with(&deaf, &actors[0], 65536));
    CHECK_OK(watch_all(&deaf, &actors[0], 0));
    for (unsigned i = 0; i < 300; i++)
        put_value(&c, "all/large", bytes_of(value, sizeof value));
    p.fd = deaf.fd;
    p.events = 0; /* only the end of it, which it learns when it speaks */
    for (unsigned s = 0; s < GONE_S && poll(&p, 1, 0) == 0; s += 5) {
        rest(&c, 5000);
        if (s >= 15)
            curve_raw_send(&deaf, "?", 1, 0);
    }
    CHECK(p.revents & (POLLERR | POLLHUP));
    put(&c, "still/here");
    CHECK_EQ(daemon_stop(&broker), 0);
}

TEST(ten_thousand_agents_with_ten_watches_each_are_served)
{
    static const unsigned numbers[PROCESSES] = {0, 1, 2, 3};
    pid_t pids[PROCESSES];
    struct curve_raw c;
    double alone, among, alone_us, among_us, used;
    uint64_t began;
    long before, after;

    if (test_patience() > 1)
        skip();
    crowd = getenv("CROWD") ? (unsigned)atoi(getenv("CROWD")) : CROWD;
    files_raise();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    record_make("crowd");
    daemon_set(&broker, "connections_max = 20000");
    CHECK_OK(daemon_start(&broker, NULL));
    CHECK_OK(enter(&c, &writer));
    alone = put_us(&c, &alone_us);
    before = resident_kib();
    began = test_now_us();
    used = used_us();
    for (unsigned i = 0; i < PROCESSES; i++)
        pids[i] = child_start(crowd_run, (void *)&numbers[i]);
    wait_until(&c, &board->in, crowd, 120);
    after = resident_kib();
    fprintf(stderr,
            "%u agents came in within %.1f s, %.0f us of the broker each; "
            "%.1f KiB each\n",
            crowd, (double)(test_now_us() - began) / 1e6,
            (used_us() - used) / crowd, (double)(after - before) / crowd);
    CHECK((after - before) / (long)crowd <= AGENT_KIB);
    used = used_us();
    rest(&c, IDLE_S * 1000);
    used = (used_us() - used) / IDLE_S / 1e4;
    fprintf(stderr, "idle: %.1f %% of a core\n", used);
    CHECK(used < IDLE_PERCENT_MAX);
    among = put_us(&c, &among_us);
    fprintf(stderr,
            "a put of one: %.0f -> %.0f us of the broker, %.0f -> %.0f us\n",
            alone, among, alone_us, among_us);
    CHECK(2 * among < 3 * alone);
    began = test_now_us();
    used = used_us();
    put(&c, "all/of/you");
    wait_until(&c, &board->heard, crowd, 30);
    fprintf(stderr, "all heard after %.0f ms; %.1f us of the broker each\n",
            (double)(test_now_us() - began) / 1e3, (used_us() - used) / crowd);
    atomic_store(&board->over, true);
    for (unsigned i = 0; i < PROCESSES; i++)
        CHECK_EQ(child_wait(pids[i], 20000), 0);
    CHECK_EQ(daemon_stop(&broker), 0);
}

CHECK_MAIN
