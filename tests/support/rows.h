/* Rows of a read set as one line, for tests to compare. */
#ifndef CHOIR_TESTS_SUPPORT_ROWS_H
#define CHOIR_TESTS_SUPPORT_ROWS_H

#include "proto/schema.h"

/* COMPARE parts: "docs/[*]@12 lab:plan@5~9", in the order of these texts; ~: up
 * to where what moved is ignored; without the brackets. */
void rows_text(struct list rows, char *out, size_t n);

#endif
