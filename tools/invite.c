/* choir invite, join: one string carries everything a stranger needs, and a
 * key that is good for joining and for nothing else. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/armour.h"

static const struct role {
    const char *name, *rights;
} roles[] = {
    {"worker", "read,write,submit,work,send,tap"},
    {"reader", "read,tap"},
    {"admin", "all"},
};

static int role_rights(const struct cli *cli)
{
    const char *role = cli_option(cli, "role");

    if (!role)
        role = roles[0].name;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i].name) == 0)
            return rights_of_names(roles[i].rights);
    cli_wrong(cli, "--role %s: there is worker, reader and admin", role);
}

static uint64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static json_t *request_make(const struct cli *cli,
                            const struct curve_pair *curve)
{
    struct hash h;
    char hex[HASH_HEX];

    memcpy(h.b, curve->public_key, sizeof h.b);
    hash_hex(&h, hex);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:[{s:s, s:i}]}", "op", "invite", "curve_key",
        hex, "uses", (json_int_t)cli_number(cli, "uses", 1), "expires",
        (json_int_t)(wall_us() + cli_duration_ms(cli, "ttl", 600000) * 1000),
        "grants", "space", cli->space ? cli->space : "*", "rights",
        role_rights(cli));
}

/* Our own identity knows the broker's keys. */
static int invitation_make(const struct cli *cli, struct choir *c,
                           const struct curve_pair *curve, struct buf *out)
{
    const char *address = cli_option(cli, "address");
    struct buf file = {0}, raw = {0};
    struct msg id, m;
    int r = cli_read_file(choir_identity_path(c), &file);

    if (!r)
        r = armour_get(buf_bytes(&file), MSG_IDENTITY, &raw, &id);
    if (!r) {
        msg_init(&m, MSG_INVITATION);
        msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve->public_key, 32));
        msg_set_b(&m, FIELD_SECRET, bytes_of(curve->secret_key, 32));
        msg_set_b(&m, FIELD_LEDGER, msg_b(&id, FIELD_LEDGER));
        msg_set_text(&m, FIELD_URL, address ? address : choir_url(c));
        msg_set_b(&m, FIELD_BROKER_KEY, msg_b(&id, FIELD_BROKER_KEY));
        msg_set_b(&m, FIELD_BROKER_CURVE, msg_b(&id, FIELD_BROKER_CURVE));
        r = armour_put(out, &m);
    }
    secret_wipe(file.p, file.n);
    secret_wipe(raw.p, raw.n);
    buf_free(&file);
    buf_free(&raw);
    return r;
}

static void reach_say(const char *url)
{
    if (strncmp(url, "tcp://127.", 10) != 0)
        return;
    fprintf(stderr,
            "It names %s: good on this machine only.\n"
            "For another one, the broker must listen to it, and the line must "
            "name it:\n"
            "    choird --listen tcp://0.0.0.0:7117\n"
            "    choir invite --address tcp://HOST:7117\n",
            url);
}

static void invitation_print(const struct cli *cli, const struct buf *text,
                             uint64_t revision)
{
    json_t *o;

    if (cli->json) {
        o = json_pack("{s:s, s:I, s:s#}", "outcome", "OK", "revision",
                      (json_int_t)revision, "invitation", (const char *)text->p,
                      text->n);
        json_line(stdout, o);
        json_decref(o);
        return;
    }
    printf("%.*s\n", (int)text->n, (const char *)text->p);
    fputs("Give this line to whoever shall join; it is a secret until used:\n"
          "    choir join STRING --as NAME\n",
          stderr);
}

static int invite_run(struct cli *cli)
{
    struct curve_pair curve;
    struct client *c;
    const char *address = cli_option(cli, "address");
    struct buf text = {0};
    json_t *answer = NULL, *request;
    int r = crypto_start();

    if (r)
        return cli_failed(r, "EIO: libsodium does not start");
    curve_pair_new(&curve);
    request = request_make(cli, &curve);
    r = client_open(cli, &c);
    if (r) {
        json_decref(request);
        return r;
    }
    r = client_ask(c, request, &answer);
    if (!r && invitation_make(cli, client_handle(c), &curve, &text))
        r = cli_failed(CHOIR_INVALID,
                       "INVALID: cannot make the invitation from our identity");
    if (!r)
        invitation_print(cli, &text, member_uint(answer, "revision"));
    if (!r && !cli->json)
        reach_say(address ? address : choir_url(client_handle(c)));
    secret_wipe(&curve, sizeof curve);
    secret_wipe(text.p, text.n);
    buf_free(&text);
    json_decref(answer);
    client_close(&c);
    return r;
}

static int join_run(struct cli *cli)
{
    struct choir_options o;
    char *path;
    int r;

    handle_options(cli, &o);
    r = choir_join(cli->args[0], &o, &path);
    if (r)
        return cli_failed(r, NULL);
    printf("%s\n", path);
    fputs("joined; this file is the identity, keep it\n", stderr);
    choir_free(path);
    return EXIT_DONE;
}

static const struct cli_option invite_options[] = {
    {"role", "R", "worker (all but admin; default), reader, admin"},
    {"uses", "N", "how often it may be used; default 1"},
    {"ttl", "TIME", "how long it is good; default 10m"},
    {"address", "URL", "where the invited one reaches the broker"},
    {NULL, NULL, NULL},
};
const struct command command_invite = {
    .name = "invite",
    .usage = "",
    .what = "print one string with which an agent can join",
    .more = "The string holds address, keys and ledger of the broker and a\n"
            "one-time key that only admits joining. --space limits what the\n"
            "agent may do to one space.\n"
            "Speaks as the broker's admin where its identity may be read.",
    .options = invite_options,
    .admin = true,
    .run = invite_run,
};

const struct command command_join = {
    .name = "join",
    .usage = "STRING",
    .what = "join a broker with an invitation",
    .more = "Makes the keys of --as NAME here, pins the broker, stores the\n"
            "identity and prints where. Done twice, it is done once.",
    .least = 1,
    .most = 1,
    .run = join_run,
};
