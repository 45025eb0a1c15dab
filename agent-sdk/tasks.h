/* What calls about tasks have in common. */
#ifndef CHOIR_SDK_TASKS_H
#define CHOIR_SDK_TASKS_H

#include "handle.h"

/* "capabilities" of a submission or a worker. What is wrong with one the
 * request keeps. */
void names_add(struct choir_request *r, const char *const *names, size_t n);
void capabilities_free(struct choir *c);

#endif
