/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The document tree that YAML and JSON both become, with the place of every value. Bounded in depth, size and
 * count; anchors are expanded within the same bounds; duplicate keys are refused.
 */

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct json_t;

enum doc_kind {
    DOC_NULL,
    DOC_SCALAR,
    DOC_LIST,
    DOC_MAP,
};

enum doc_type {
    DOC_PLAIN,  /* YAML text without quotes: may stand for a number, a truth value or a string */
    DOC_STRING, /* quoted YAML, or a JSON string */
    DOC_NUMBER, /* JSON only */
    DOC_BOOL,   /* JSON only */
};

/* One value with its place. Entries of a mapping carry their key. Line 0: no place (JSON). */
struct doc {
    enum doc_kind kind;
    enum doc_type type;
    uint32_t line;
    uint32_t column;
    uint32_t key_line;
    uint32_t key_column;
    struct weir_sv key;
    struct weir_sv text; /* of a scalar */
    struct doc *first;   /* of a list or mapping */
    struct doc *last;
    struct doc *next;
    size_t n;
    size_t size;     /* nodes of this subtree with aliases expanded */
    char number[32]; /* JSON numbers: what text points to */
};

/* The whole tree lives in the arena; release the arena. Errors: -WEIR_EINVAL, -WEIR_ELIMIT. */
int doc_from_yaml(struct weir_sv text,
                  const char *file_name,
                  struct weir_arena *arena,
                  struct doc **ret,
                  struct weir_err *err);
/* One allocation that the caller frees; strings are borrowed from root. */
int doc_from_json(const struct json_t *root, struct doc **ret, struct weir_err *err);
const struct doc *doc_get(const struct doc *map, const char *key);
/* Fails unless every byte is text; the error has line and column. */
int doc_check_text(struct weir_sv text, const char *file_name, struct weir_err *err);
