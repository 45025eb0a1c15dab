/* The shared state as two JSON files: who does what, and the result. Each
 * change reads the file, thinks, and writes it back, by rename so that nobody
 * ever reads half a file. */
#include "agent.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char todo_path[PATH_MAX], notes_path[PATH_MAX];
static char doc_taken[PATH_MAX];
static json_t *notes_seen;

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *value = json_load_file(path, 0, &error);

    if (!value)
        give_up(path, error.text);
    return value;
}

static void save(const char *path, const json_t *value)
{
    char mine[PATH_MAX + 16];

    snprintf(mine, sizeof mine, "%s.%d", path, (int)getpid());
    if (json_dump_file(value, mine, JSON_INDENT(1)) || rename(mine, path))
        give_up(path, "cannot be written");
}

static void mark(json_t *todo, const char *doc, const char *state)
{
    if (json_object_set_new(json_object_get(todo, "index"), doc,
                            json_string(state)))
        give_up(doc, "cannot be marked");
    save(todo_path, todo);
}

static int files_take(char *doc, size_t bytes)
{
    for (;; usleep(20 * 1000)) {
        json_t *todo = load(todo_path), *state;
        int over = json_is_true(json_object_get(todo, "closed"));
        const char *name;

        json_object_foreach(json_object_get(todo, "index"), name, state)
        {
            if (strcmp(json_string_value(state), "todo") != 0)
                continue;
            snprintf(doc_taken, sizeof doc_taken, "%s", name);
            snprintf(doc, bytes, "%s", name);
            mark(todo, doc_taken, "taken");
            json_decref(todo);
            return 1;
        }
        json_decref(todo);
        if (over)
            return 0;
    }
}

static void files_read(const struct found *f, char *values[TERMS_MAX])
{
    json_decref(notes_seen);
    notes_seen = load(notes_path);
    for (size_t i = 0; i < f->count; i++) {
        const char *value =
            json_string_value(json_object_get(notes_seen, f->terms[i].key));
        values[i] = value ? strdup(value) : NULL;
    }
}

static int files_finish(const struct found *f, char *values[TERMS_MAX])
{
    json_t *todo;

    for (size_t i = 0; i < f->count; i++)
        if (json_object_set_new(notes_seen, f->terms[i].key,
                                json_string(values[i])))
            give_up(f->terms[i].key, "cannot be set");
    save(notes_path, notes_seen);
    todo = load(todo_path);
    mark(todo, doc_taken, "done");
    json_decref(todo);
    say("did", doc_taken);
    return 1;
}

struct store files_store(const char *folder)
{
    snprintf(todo_path, sizeof todo_path, "%s/todo.json", folder);
    snprintf(notes_path, sizeof notes_path, "%s/notes.json", folder);
    return (struct store){files_take, files_read, files_finish};
}
