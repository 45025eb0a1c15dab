/* Stands in for libFuzzer where there is no clang: gives a fuzz target every
 * file of its corpus, once. A finding is a sanitizer's abort, which the runner
 * counts; so reaching the end means that every file passed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_BYTES_MAX (16u << 20)

static int passed, failed;

/* The copy is exactly as large as the file, so that ASan sees one byte past. */
static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *bytes = NULL;

    if (f && fstat(fileno(f), &st) == 0 && st.st_size <= INPUT_BYTES_MAX)
        bytes = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (bytes && fread(bytes, 1, (size_t)st.st_size, f) == (size_t)st.st_size) {
        printf("%s\n", path);
        fflush(stdout); /* names the file that a crash belongs to */
        LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
        passed++;
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
        failed++;
    }
    free(bytes);
    if (f)
        fclose(f);
}

static void replay_directory(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);

    if (n < 0) {
        fprintf(stderr, "%s: %s: a fuzz target needs a corpus\n", path,
                strerror(errno));
        failed++;
        return;
    }
    for (int i = 0; i < n; i++) {
        char file[4096];

        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay_file(file);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) == 0 && !S_ISDIR(st.st_mode))
            replay_file(argv[i]);
        else
            replay_directory(argv[i]);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
