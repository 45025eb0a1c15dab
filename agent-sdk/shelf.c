#include "shelf.h"

#include <stdlib.h>

struct pile {
    struct shelf *of;
    unsigned n;
    void *things[SHELF_THINGS];
};

static void pile_destroy(void *pile)
{
    struct pile *p = pile;

    while (p->n)
        p->of->destroy(p->things[--p->n]);
    free(p);
}

void shelf_open(struct shelf *s, void (*destroy)(void *thing))
{
    s->destroy = destroy;
    s->is_open = pthread_key_create(&s->key, pile_destroy) == 0;
}

/* The last thread unloads the library: only its pile can be reached. */
void shelf_close(struct shelf *s)
{
    struct pile *p;

    if (!atomic_exchange(&s->is_open, false))
        return;
    p = pthread_getspecific(s->key);
    if (p)
        pile_destroy(p);
    pthread_key_delete(s->key);
}

void *shelf_take(struct shelf *s)
{
    struct pile *p = s->is_open ? pthread_getspecific(s->key) : NULL;

    return p && p->n ? p->things[--p->n] : NULL;
}

static struct pile *pile_make(struct shelf *s)
{
    struct pile *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->of = s;
    if (pthread_setspecific(s->key, p)) {
        free(p);
        return NULL;
    }
    return p;
}

bool shelf_put(struct shelf *s, void *thing)
{
    struct pile *p = s->is_open ? pthread_getspecific(s->key) : NULL;

    if (s->is_open && !p)
        p = pile_make(s);
    if (!p || p->n == SHELF_THINGS)
        return false;
    p->things[p->n++] = thing;
    return true;
}
