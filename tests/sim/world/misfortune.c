/* What goes wrong in the world, see world.h. */
#include "tests/sim/world/disk.h"
#include "tests/sim/world/world.h"

static void cut_someone(struct world *w)
{
    struct client *a = &w->agents[world_any(WORLD_AGENTS)];

    if (a->connection)
        a->is_cut = true;
    if (!world_any(3))
        client_die(w, a);
}

static void repeat_something(struct world *w)
{
    struct client *a = &w->agents[world_any(WORLD_AGENTS)];

    if (a->connection && a->sent_count)
        world_send(w, a, true,
                   buf_bytes(&a->sent[world_any(a->sent_count)].frame));
}

static void harm_disk(struct world *w)
{
    if (!w->cycle)
        return;
    switch (world_any(4)) {
    case 0:
        disk_cut_after(1 + world_any(30));
        world_say(w, "the disk will be cut off");
        break;
    case 1:
        disk_fail_sync(1 + world_any(4));
        w->fault = true;
        world_say(w, "a sync will fail");
        break;
    case 2:
        disk_set_room(disk_bytes() + world_any(200000));
        w->full = true;
        world_say(w, "the disk is nearly full");
        break;
    default:
        disk_set_room(UINT64_MAX);
        w->full = false;
        world_say(w, "the disk has room");
    }
}

void world_misfortune(struct world *w)
{
    switch (world_any(12)) {
    case 0:
        if (w->cycle)
            world_crash(w, "killed");
        return;
    case 1:
        if (w->cycle && world_any(2))
            world_stop_clean(w);
        else if (w->cycle)
            world_crash(w, "killed");
        return;
    case 2:
    case 3: harm_disk(w); return;
    case 4:
    case 5:
    case 6: cut_someone(w); return;
    default: repeat_something(w);
    }
}
