/* What a handle knows about itself and its broker. */
#include "handle.h"

uint64_t handle_limit(const struct choir *c, const char *name)
{
    for (unsigned i = 0; i < c->limit_count; i++)
        if (strcmp(c->limits[i].name, name) == 0)
            return c->limits[i].value;
    return 0;
}

uint64_t choir_limit(struct choir *c, const char *name)
{
    uint64_t value;

    if (handle_check(c))
        return 0;
    pthread_mutex_lock(&c->lock);
    value = handle_limit(c, name);
    pthread_mutex_unlock(&c->lock);
    return value;
}

bool choir_connected(struct choir *c)
{
    bool is;

    if (handle_check(c))
        return false;
    pthread_mutex_lock(&c->lock);
    is = c->is_connected;
    pthread_mutex_unlock(&c->lock);
    return is;
}

uint64_t choir_session(struct choir *c)
{
    uint64_t session;

    if (handle_check(c))
        return 0;
    pthread_mutex_lock(&c->lock);
    session = c->session;
    pthread_mutex_unlock(&c->lock);
    return session;
}

void choir_checkpoint(struct choir *c, uint64_t *epoch, uint64_t *size,
                      char root[65])
{
    struct checkpoint seen = {0};

    if (!handle_check(c)) {
        pthread_mutex_lock(&c->lock);
        seen = c->seen;
        pthread_mutex_unlock(&c->lock);
    }
    if (epoch)
        *epoch = seen.epoch;
    if (size)
        *size = seen.size;
    if (root)
        hash_hex(&seen.root, root);
}

const char *choir_url(const struct choir *c)
{
    return c->id.broker.url;
}

const char *choir_name(const struct choir *c)
{
    return c->name;
}

const char *choir_space(const struct choir *c)
{
    return c->space;
}

const char *choir_identity_path(const struct choir *c)
{
    return c->path;
}

const char *choir_agent_id(const struct choir *c)
{
    return c->agent_hex;
}

const char *choir_ledger_id(const struct choir *c)
{
    return c->ledger_hex;
}
