/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML document tree built from libyaml's events, with a place for every value. Everything is
 * bounded: bytes, depth, entries, and nodes after aliases are expanded (an alias shares the nodes
 * of its anchor, but counts with all of them, so "billion laughs" is refused and costs nothing).
 */
#include <yaml.h>

#include "spec/spec_priv.h"

enum { ANCHORS_MAX = 256 };

struct anchor {
    struct weir_sv name;
    struct doc *node;
};

struct builder {
    const char *file_name;
    struct weir_arena *arena;
    struct weir_err *err;
    struct doc *root;
    struct doc *stack[WEIR_SPEC_DEPTH_MAX];
    int depth;
    struct doc *key; /* read, its value is still to come */
    struct anchor anchor[ANCHORS_MAX];
    size_t n_anchors;
    size_t size; /* nodes, aliases expanded */
};

static int fail_at(const struct builder *b, yaml_mark_t at, int code, const char *what)
{
    return weir_fail(b->err, code, "%s:%zu:%zu: %s", b->file_name, at.line + 1, at.column + 1,
                     what);
}

/* How many bytes the character at s takes by its first byte. */
static size_t char_length(unsigned char first)
{
    return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

int doc_check_text(struct weir_sv text, const char *file_name, struct weir_err *err)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < text.n;) {
        size_t n = char_length((unsigned char)text.p[i]);
        n = n < text.n - i ? n : text.n - i;
        bool line_end =
            text.p[i] == '\n' || (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n');
        if (!line_end && !weir_utf8_is_text((struct weir_sv){text.p + i, n})) {
            unsigned char c = (unsigned char)text.p[i];
            return weir_fail(err, -WEIR_EINVAL,
                             "%s:%zu:%zu: byte 0x%02x is not UTF-8 text; is this a job file?",
                             file_name, line, column, c);
        }
        column++;
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        }
        i += n;
    }
    return 0;
}

static int new_node(struct builder *b, yaml_mark_t at, enum doc_kind kind, struct doc **ret)
{
    if (++b->size > DOC_NODES_MAX) {
        return fail_at(b, at, -WEIR_ELIMIT, "more than 20000 values, aliases expanded");
    }
    struct doc *d = weir_arena_alloc(b->arena, sizeof *d);
    d->kind = kind;
    d->line = (uint32_t)at.line + 1;
    d->column = (uint32_t)at.column + 1;
    d->size = 1;
    *ret = d;
    return 0;
}

static bool has_key(const struct doc *map, struct weir_sv key)
{
    for (const struct doc *d = map->first; d != NULL; d = d->next) {
        if (weir_sv_eq(d->key, key)) {
            return true;
        }
    }
    return false;
}

/* Hangs a complete or just opened node into its parent, or keeps it as the key of the next one. */
static int attach(struct builder *b, struct doc *d, yaml_mark_t at)
{
    if (b->depth == 0) {
        b->root = d;
        return 0;
    }
    struct doc *parent = b->stack[b->depth - 1];
    if (parent->kind == DOC_MAP && b->key == NULL) {
        if (d->kind != DOC_SCALAR) {
            return fail_at(b, at, -WEIR_EINVAL, "a key must be a word, not a list or mapping");
        }
        if (weir_sv_eq(d->text, WEIR_SV("<<")) && d->type == DOC_PLAIN) {
            return fail_at(b, at, -WEIR_EUNSUPPORTED,
                           "merge keys (<<) are not supported; repeat the entries");
        }
        if (has_key(parent, d->text)) {
            return weir_fail(b->err, -WEIR_EINVAL, "%s:%zu:%zu: key '%.*s' is given twice",
                             b->file_name, at.line + 1, at.column + 1,
                             d->text.n > 60 ? 60 : (int)d->text.n, d->text.p);
        }
        b->key = d;
        return 0;
    }
    if (parent->n == DOC_ENTRIES_MAX) {
        return fail_at(b, at, -WEIR_ELIMIT, "more than 1024 entries in one list or mapping");
    }
    if (parent->kind == DOC_MAP) {
        d->key = b->key->text;
        d->key_line = b->key->line;
        d->key_column = b->key->column;
        b->key = NULL;
    }
    if (parent->last == NULL) {
        parent->first = d;
    } else {
        parent->last->next = d;
    }
    parent->last = d;
    parent->n++;
    return 0;
}

static int remember(struct builder *b, const yaml_char_t *name, struct doc *d, yaml_mark_t at)
{
    if (name == NULL) {
        return 0;
    }
    if (b->n_anchors == ANCHORS_MAX) {
        return fail_at(b, at, -WEIR_ELIMIT, "more than 256 anchors");
    }
    struct weir_sv n = weir_sv_of((const char *)name);
    b->anchor[b->n_anchors++] = (struct anchor){{weir_arena_strndup(b->arena, n.p, n.n), n.n}, d};
    return 0;
}

static bool is_null_text(struct weir_sv s)
{
    return s.n == 0 || weir_sv_eq(s, WEIR_SV("~")) || weir_sv_eq(s, WEIR_SV("null")) ||
           weir_sv_eq(s, WEIR_SV("Null")) || weir_sv_eq(s, WEIR_SV("NULL"));
}

static int check_tag(const struct builder *b, const yaml_char_t *tag, yaml_mark_t at)
{
    static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq", "set"};
    struct weir_sv t = weir_sv_of((const char *)tag);
    struct weir_sv prefix = WEIR_SV("tag:yaml.org,2002:");
    if (tag == NULL || weir_sv_eq(t, WEIR_SV("!"))) {
        return 0;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(known) && weir_sv_starts(t, prefix); i++) {
        if (weir_sv_eq((struct weir_sv){t.p + prefix.n, t.n - prefix.n}, weir_sv_of(known[i]))) {
            return 0;
        }
    }
    return weir_fail(b->err, -WEIR_EUNSUPPORTED,
                     "%s:%zu:%zu: tag '%.60s' is not supported; write the plain value",
                     b->file_name, at.line + 1, at.column + 1, (const char *)tag);
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
    struct doc *d = NULL;
    struct weir_sv value = {(const char *)e->data.scalar.value, e->data.scalar.length};
    int r = new_node(b, e->start_mark, DOC_SCALAR, &d);
    r = r != 0 ? r : check_tag(b, e->data.scalar.tag, e->start_mark);
    if (r != 0) {
        return r;
    }
    if (value.n > 0 && memchr(value.p, '\0', value.n) != NULL) {
        return fail_at(b, e->start_mark, -WEIR_EINVAL, "the text has a NUL character");
    }
    d->text = (struct weir_sv){weir_arena_strndup(b->arena, value.p, value.n), value.n};
    d->type = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && e->data.scalar.tag == NULL
                  ? DOC_PLAIN
                  : DOC_STRING;
    bool is_key = b->depth > 0 && b->stack[b->depth - 1]->kind == DOC_MAP && b->key == NULL;
    if (d->type == DOC_PLAIN && !is_key && is_null_text(value)) {
        d->kind = DOC_NULL;
    }
    r = attach(b, d, e->start_mark);
    return r != 0 ? r : remember(b, e->data.scalar.anchor, d, e->start_mark);
}

static int on_open(struct builder *b, const yaml_event_t *e, enum doc_kind kind)
{
    const yaml_char_t *anchor =
        kind == DOC_MAP ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
    const yaml_char_t *tag =
        kind == DOC_MAP ? e->data.mapping_start.tag : e->data.sequence_start.tag;
    struct doc *d = NULL;
    if (b->depth == WEIR_SPEC_DEPTH_MAX) {
        return fail_at(b, e->start_mark, -WEIR_ELIMIT, "nested deeper than 16 levels");
    }
    int r = check_tag(b, tag, e->start_mark);
    r = r != 0 ? r : new_node(b, e->start_mark, kind, &d);
    r = r != 0 ? r : attach(b, d, e->start_mark);
    r = r != 0 ? r : remember(b, anchor, d, e->start_mark);
    if (r != 0) {
        return r;
    }
    d->size = 0; /* until it is closed: an alias to it would be a cycle */
    b->stack[b->depth++] = d;
    return 0;
}

static void on_close(struct builder *b)
{
    struct doc *d = b->stack[--b->depth];
    d->size = 1;
    for (const struct doc *c = d->first; c != NULL; c = c->next) {
        d->size += c->size + (d->kind == DOC_MAP);
    }
}

static int on_alias(struct builder *b, const yaml_event_t *e)
{
    struct weir_sv name = weir_sv_of((const char *)e->data.alias.anchor);
    struct doc *target = NULL;
    /* The last anchor of that name counts, as YAML says. */
    for (size_t i = b->n_anchors; i > 0 && target == NULL; i--) {
        if (weir_sv_eq(b->anchor[i - 1].name, name)) {
            target = b->anchor[i - 1].node;
        }
    }
    if (target == NULL) {
        return fail_at(b, e->start_mark, -WEIR_EINVAL, "the alias has no anchor before it");
    }
    if (target->size == 0) {
        return fail_at(b, e->start_mark, -WEIR_EINVAL, "the alias stands inside its own anchor");
    }
    struct doc *d = NULL;
    int r = new_node(b, e->start_mark, target->kind, &d);
    b->size += target->size - 1;
    if (r == 0 && b->size > DOC_NODES_MAX) {
        r = fail_at(b, e->start_mark, -WEIR_ELIMIT, "more than 20000 values, aliases expanded");
    }
    if (r != 0) {
        return r;
    }
    /* The children are shared: nothing changes a tree once its nodes are closed. */
    d->type = target->type;
    d->text = target->text;
    d->first = target->first;
    d->last = target->last;
    d->n = target->n;
    d->size = target->size;
    return attach(b, d, e->start_mark);
}

static int on_event(struct builder *b, const yaml_event_t *e, size_t *documents)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1) {
            return fail_at(b, e->start_mark, -WEIR_EUNSUPPORTED,
                           "a second document; chains of tasks are not supported, submit each in a "
                           "file of its own");
        }
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(b, e);
    case YAML_SCALAR_EVENT:
        return on_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, e, DOC_LIST);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, e, DOC_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(b);
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

int doc_from_yaml(struct weir_sv text,
                  const char *file_name,
                  struct weir_arena *arena,
                  struct doc **ret,
                  struct weir_err *err)
{
    int r = doc_check_text(text, file_name, err);
    if (r != 0) {
        return r;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return weir_fail(err, -WEIR_ENOMEM, "%s: no memory to read it", file_name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    struct builder *b = weir_arena_alloc(arena, sizeof *b);
    b->file_name = file_name;
    b->arena = arena;
    b->err = err;
    size_t documents = 0;
    bool done = false;
    while (r == 0 && !done) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            const char *problem = parser.problem == NULL ? "not YAML" : parser.problem;
            const char *context = parser.context == NULL ? "" : parser.context;
            r = weir_fail(err, -WEIR_EINVAL, "%s:%zu:%zu: %s%s%s", file_name,
                          parser.problem_mark.line + 1, parser.problem_mark.column + 1, problem,
                          *context == '\0' ? "" : " ", context);
            break;
        }
        done = e.type == YAML_STREAM_END_EVENT;
        r = on_event(b, &e, &documents);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    if (r == 0) {
        *ret = b->root;
    }
    return r;
}
