/* A decoded message of few fields in a tenth of the room, for whoever keeps many
 * between two looks: a bundle's operations are decoded where they are proven and
 * read again when their turn comes. */
#ifndef CHOIR_PROTO_BRIEF_H
#define CHOIR_PROTO_BRIEF_H

#include "schema.h"

enum { BRIEF_FIELDS = 6 };

struct brief {
    enum message verb;
    uint8_t count; /* of fields; more than BRIEF_FIELDS: none is kept */
    uint8_t field[BRIEF_FIELDS];
    struct value v[BRIEF_FIELDS];
};

/* Bytes stay borrowed from what was decoded. */
void brief_keep(struct brief *b, const struct msg *m);
/* As it was decoded; false, and m not touched, if it had too many fields. */
bool brief_read(const struct brief *b, struct msg *m);

#endif
