#include "tests/support/home.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"

void home_make(char dir[HOME_BYTES])
{
    const char *tmp = getenv("CHOIR_TMP");
    char store[HOME_BYTES + 16];

    snprintf(dir, HOME_BYTES, "%s/sdk.XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir) != NULL);
    snprintf(store, sizeof store, "%s/store", dir);
    setenv("CHOIR_CONFIG", store, 1);
    unsetenv("CHOIR_URL");
    unsetenv("CHOIR_AS");
    unsetenv("CHOIR_IDENTITY");
    unsetenv("CHOIR_SPACE");
}

void home_remove(const char *dir)
{
    char command[HOME_BYTES + 16];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_OK(system(command));
}
