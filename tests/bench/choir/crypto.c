/* crypto [clients=50] [known=0]
 *
 * What row 5 is held against: as many puts a second as the cores could sign
 * and verify if they did nothing else. For each put the client signs, the
 * broker verifies, and the client verifies the answer; the broker signs once
 * for as many clients as there are. (The SDK verifies once in a process what
 * hangs under one signature, so handles that share one may do with less.)
 * Each client has its key, and no header is signed twice: what is verified
 * again and again goes by branches that the processor knows by heart, which no
 * broker's does. libsodium verifies; known=1: tables of the keys do, as in
 * broker and SDK (proto/key_known.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/key.h"
#include "tests/bench/choir/works.h"

enum { HEADER_BYTES = 160 }; /* about what a bundle's header has */

struct signing {
    unsigned clients, known;
};

struct signed_header {
    uint8_t header[HEADER_BYTES], signature[KEY_SIGNATURE_BYTES];
};

static const struct hash ledger = {{1}};

static void sign_next(const struct key_pair *k, enum key_purpose purpose,
                      uint64_t number, struct signed_header *s)
{
    memcpy(s->header, &number, sizeof number);
    key_sign(k, purpose, &ledger, bytes_of(s->header, HEADER_BYTES),
             s->signature);
}

static void verify(const struct signing *w, const struct key_pair *k,
                   enum key_purpose purpose, const struct signed_header *s)
{
    if ((w->known ? key_verify_often : key_verify)(
            k->public_key, purpose, &ledger, bytes_of(s->header, HEADER_BYTES),
            s->signature))
        load_die("a signature of our own is wrong");
}

static void core(struct load_client *l, int number, void *argument)
{
    const struct signing *w = argument;
    struct key_pair *keys = calloc(w->clients, sizeof *keys), broker;
    struct signed_header bundle = {0}, answer = {0};

    if (!keys)
        load_die("no memory");
    bundle.header[HEADER_BYTES - 1] = (uint8_t)number;
    key_pair_new(&broker);
    for (unsigned i = 0; i < w->clients; i++)
        key_pair_new(&keys[i]);
    load_client_ready(l);
    for (uint64_t done = 0; load_client_runs(l); done++) {
        const struct key_pair *k = &keys[done % w->clients];
        uint64_t start = load_now_us();

        if (k == keys)
            sign_next(&broker, KEY_FOR_ANSWER, done, &answer);
        sign_next(k, KEY_FOR_BUNDLE, done, &bundle);
        verify(w, k, KEY_FOR_BUNDLE, &bundle);
        verify(w, &broker, KEY_FOR_ANSWER, &answer);
        load_client_done(l, start);
    }
    free(keys);
}

void work_crypto(void)
{
    struct signing w = {
        .clients = load_number("clients", 50),
        .known = load_number("known", 0),
    };
    struct load_options options = load_timing();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct load_result result;
    struct load *l;
    char what[64];

    load_text("dir", NULL);
    load_arguments_end();
    if (!w.clients || crypto_start())
        load_die("no clients, or no libsodium");
    l = load_new(&options);
    for (long i = 0; i < cores && i < LOAD_CLIENTS_MAX; i++)
        load_spawn(l, core, &w);
    load_run(l, NULL, 0, &result);
    load_free(&l);
    snprintf(what, sizeof what, "\"cores\":%ld,\"share\":%u", cores, w.clients);
    load_print(&result, what);
}
