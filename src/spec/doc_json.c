/* SPDX-License-Identifier: Apache-2.0 */
/* A parsed JSON value as a document tree, so that one reader serves both forms. */
#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "spec/spec_priv.h"

/* Nodes of a value; bounded in depth, so this recursion is at most WEIR_SPEC_DEPTH_MAX deep. */
static int count_nodes(const json_t *v, int depth, size_t *n, struct weir_err *err)
{
    if (depth > WEIR_SPEC_DEPTH_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "nested deeper than %d levels", WEIR_SPEC_DEPTH_MAX);
    }
    if (++*n > DOC_NODES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "more than %d values", DOC_NODES_MAX);
    }
    int r = 0;
    if (json_is_object(v)) {
        const char *key;
        json_t *child;
        /* jansson's iteration takes a non-const object; it does not change it. */
        json_object_foreach ((json_t *)(uintptr_t)v, key, child) {
            (void)key;
            r = count_nodes(child, depth + 1, n, err);
            if (r != 0) {
                return r;
            }
        }
    }
    for (size_t i = 0; r == 0 && i < json_array_size(v); i++) {
        r = count_nodes(json_array_get(v, i), depth + 1, n, err);
    }
    return r;
}

static void set_scalar(struct doc *d, const json_t *v)
{
    d->kind = DOC_SCALAR;
    switch (json_typeof(v)) {
    case JSON_STRING:
        d->type = DOC_STRING;
        d->text = (struct weir_sv){json_string_value(v), json_string_length(v)};
        break;
    case JSON_INTEGER:
        d->type = DOC_NUMBER;
        d->text.p = d->number;
        d->text.n = (size_t)snprintf(d->number, sizeof d->number, "%" JSON_INTEGER_FORMAT,
                                     json_integer_value(v));
        break;
    case JSON_REAL:
        /* Fifteen digits give back every decimal of up to that many as it was written. */
        d->type = DOC_NUMBER;
        d->text.p = d->number;
        d->text.n = (size_t)snprintf(d->number, sizeof d->number, "%.15g", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        d->type = DOC_BOOL;
        d->text = json_is_true(v) ? WEIR_SV("true") : WEIR_SV("false");
        break;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        d->kind = DOC_NULL;
        break;
    }
}

static void link_child(struct doc *parent, struct doc *child)
{
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    parent->n++;
}

static void build(const json_t *v, struct doc *d, struct doc **free_node)
{
    if (json_is_object(v)) {
        const char *key;
        json_t *child;
        d->kind = DOC_MAP;
        json_object_foreach ((json_t *)(uintptr_t)v, key, child) {
            struct doc *c = (*free_node)++;
            build(child, c, free_node);
            c->key = weir_sv_of(key);
            link_child(d, c);
        }
    } else if (json_is_array(v)) {
        d->kind = DOC_LIST;
        for (size_t i = 0; i < json_array_size(v); i++) {
            struct doc *c = (*free_node)++;
            build(json_array_get(v, i), c, free_node);
            link_child(d, c);
        }
    } else {
        set_scalar(d, v);
    }
}

int doc_from_json(const json_t *root, struct doc **ret, struct weir_err *err)
{
    size_t n = 0;
    int r = count_nodes(root, 1, &n, err);
    if (r != 0) {
        return r;
    }
    struct doc *nodes = weir_calloc(n, sizeof *nodes);
    struct doc *free_node = nodes + 1;
    build(root, nodes, &free_node);
    WEIR_ASSERT(free_node == nodes + n);
    *ret = nodes;
    return 0;
}
