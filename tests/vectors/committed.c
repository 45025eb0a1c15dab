/* The vectors that are committed are what the makers make. `--write` (make
 * vectors) writes them instead. */
#include "tests/check.h"

#include "tests/support/vectors.h"

static void path_of(char path[128], const char *subject)
{
    snprintf(path, 128, "%s/%s.json", VECTORS_DIR, subject);
}

static char *file_text(const char *path)
{
    struct buf b = {0};
    FILE *f = fopen(path, "r");
    char part[4096];
    size_t n;

    if (!f)
        fail_msg("%s is not there: make vectors", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_put(&b, part, n);
    fclose(f);
    buf_put(&b, "", 1);
    return (char *)b.p;
}

TEST(vectors_committed_are_the_vectors_made)
{
    for (const char *const *s = vectors_subjects; *s; s++) {
        json_t *file = vectors_make(*s);
        char path[128], *made = vectors_text(file), *kept;

        path_of(path, *s);
        kept = file_text(path);
        if (strcmp(made, kept) != 0)
            fail_msg("%s is not what is made: make vectors, and look at the "
                     "difference: the format may not change",
                     path);
        json_decref(file);
        free(made);
        free(kept);
    }
}

static int write_all(void)
{
    for (const char *const *s = vectors_subjects; *s; s++) {
        json_t *file = vectors_make(*s);
        char path[128], *text = vectors_text(file);
        FILE *f;

        path_of(path, *s);
        f = fopen(path, "w");
        if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
            perror(path);
            return 1;
        }
        json_decref(file);
        free(text);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_all();
    return _cmocka_run_group_tests(__FILE__, check_tests, check_count, NULL,
                                   NULL) != 0;
}
