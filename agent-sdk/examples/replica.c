/* Read without asking: `replica [PREFIX]` prints what stands under a prefix,
 * writes one key there and reads it back from its own copy. */
#include <choir.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int cut_print(struct choir_replica *r)
{
    struct choir_cut *cut;
    struct choir_view v;
    int code = choir_replica_cut(r, "", &cut);

    if (code)
        return code;
    printf("as of revision %" PRIu64 ":\n", choir_cut_revision(cut));
    for (size_t i = 0; choir_cut_item(cut, i, &v); i++)
        printf("  %s = %.*s\n", v.key, (int)v.bytes, (const char *)v.value);
    choir_cut_free(&cut);
    return 0;
}

/* What was written is there once the replica has come to its revision. */
static int write_and_read(struct choir *c, struct choir_replica *r,
                          const char *key)
{
    struct choir_view v;
    uint64_t revision;
    int code = choir_put(c, key, "was here", 8, &revision);

    if (!code)
        code = choir_replica_wait(r, revision, 5000);
    if (!code)
        code = choir_replica_get(r, key, &v);
    if (code)
        return code;
    printf("%s, at revision %" PRIu64 ": %s\n", v.key, v.revision,
           (const char *)v.value);
    choir_view_release(&v);
    return 0;
}

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "notes/";
    struct choir_replica *r = NULL;
    struct choir *c = NULL;
    char key[256];
    int code;

    snprintf(key, sizeof key, "%sreplica", prefix);
    code = choir_open(NULL, &c);
    if (!code)
        code = choir_replica_open(c, prefix, NULL, &r);
    if (!code)
        code = choir_replica_wait(r, 0, 10000);
    if (!code)
        code = cut_print(r);
    if (!code)
        code = write_and_read(c, r, key);
    if (code)
        fprintf(stderr, "%s\n", choir_error_text());
    choir_replica_close(&r);
    choir_close(&c);
    return code != 0;
}
