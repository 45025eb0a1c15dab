/* crypto [clients=50]
 *
 * What row 5 is held against: as many puts a second as the cores could sign
 * and verify if they did nothing else. For each put the client signs, the
 * broker verifies, and the client verifies the answer; the broker signs once
 * for as many clients as there are. */
#include <stdio.h>
#include <unistd.h>

#include "proto/key.h"
#include "tests/bench/choir/works.h"

enum { HEADER_BYTES = 160 }; /* about what a bundle's header has */

struct signing {
    unsigned clients;
};

static void put_crypto(const struct key_pair *k, struct bytes header)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash ledger = {{1}};

    key_sign(k, KEY_FOR_BUNDLE, &ledger, header, signature);
    for (int i = 0; i < 2; i++)
        if (key_verify(k->public_key, KEY_FOR_BUNDLE, &ledger, header,
                       signature))
            load_die("a signature of our own is wrong");
}

static void core(struct load_client *l, int number, void *argument)
{
    const struct signing *w = argument;
    uint8_t header[HEADER_BYTES] = {0}, signature[KEY_SIGNATURE_BYTES];
    struct hash ledger = {{1}};
    struct key_pair k;
    uint64_t done = 0;

    header[0] = (uint8_t)number;
    key_pair_new(&k);
    load_client_ready(l);
    while (load_client_runs(l)) {
        uint64_t start = load_now_us();

        if (done++ % w->clients == 0)
            key_sign(&k, KEY_FOR_ANSWER, &ledger,
                     bytes_of(header, sizeof header), signature);
        put_crypto(&k, bytes_of(header, sizeof header));
        load_client_done(l, start);
    }
}

void work_crypto(void)
{
    struct signing w = {.clients = load_number("clients", 50)};
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
