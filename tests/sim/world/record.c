/* The record as a whole: it is what it was, all of it is there that must be,
 * and it gives the same state again. */
#include <unistd.h>

#include "broker/core_private.h"
#include "tests/sim/world/disk.h"
#include "tests/sim/world/world.h"

void record_check_tree(struct world *w)
{
    struct hash is = frontier_root(&rig_state(&w->rig)->tree);
    struct hash wanted = frontier_root(&w->model.tree);

    if (rig_state(&w->rig)->size == w->model.size && !hash_equal(&is, &wanted))
        world_fail(w, "the record is no longer what it was");
    if (rig_state(&w->rig)->size == w->model.size)
        state_check(w);
}

struct projection projection_of(const struct core *c)
{
    return (struct projection){
        .digest = state_digest(core_state(c)),
        .root = frontier_root(&core_state(c)->tree),
        .size = core_size(c),
    };
}

/* As the next start would find it without its snapshot. */
struct projection projection_from_scratch(struct world *w)
{
    struct core_options o = world_core(w);
    struct projection p = {.size = 0};
    char *data = w->rig.config->data, trouble[512];
    char copy[] = DISK_ROOT "/copy";
    struct core *c = NULL;

    disk_set_room(UINT64_MAX);
    w->full = false;
    disk_copy(data, copy);
    unlink(DISK_ROOT "/copy/state.snapshot");
    w->rig.config->data = copy;
    if (core_open(&c, &o, trouble) == 0)
        p = projection_of(c);
    core_destroy(&c);
    w->rig.config->data = data;
    disk_remove(copy);
    if (!p.size)
        world_fail(w, "it cannot be replayed from scratch: %s", trouble);
    return p;
}

/* From its beginning, payloads and all. */
void record_check(struct world *w)
{
    struct ledger_reader *reader;
    const struct entry *e;
    int r = ledger_reader_open(core_ledger(w->rig.core), 0, &reader);

    for (uint64_t i = 0; !r && i < w->model.size; i++) {
        r = ledger_reader_next(reader, &e);
        if (!r && (!model_agrees(&w->model, e) || !model_keeps(&w->model, e) ||
                   (w->settled && !model_erases(&w->model, e))))
            break;
    }
    ledger_reader_close(&reader);
    if (r)
        world_fail(w, "the record cannot be read again: %d", r);
    if (disk_leaked())
        world_fail(w, "what was erased was given back as it was");
    if (w->model.why[0])
        world_fail(w, "%s", w->model.why);
}
