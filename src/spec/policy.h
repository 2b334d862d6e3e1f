/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Policies as people write them: rows, each of which allows or denies what it takes. They are asked in their order, then by name; the
 * first that takes a job and a place decides, and where none does it is allowed. docs/design/0012-policies.md says why.
 */

#include "base/err.h"
#include "base/str.h"
#include "core/policy.h"
#include "spec/spec.h"

struct json_t;
struct weir_json;

enum {
    WEIR_POLICY_NAME_SIZE = 64,
    WEIR_POLICY_ROWS_MAX = WEIR_POLICY_RULES_MAX,
    WEIR_POLICY_ORDER = 100, /* of a row that says nothing else */
};

struct weir_policy_row {
    char name[WEIR_POLICY_NAME_SIZE];
    uint32_t order;
    struct weir_policy_rule rule; /* what of a place */
    /* whose; globs, "": anybody's */
    char project[WEIR_SPEC_NAME_MAX + 1];
    char user[WEIR_POLICY_NAME_SIZE];
    char image[256]; /* of jobs in a container */
    char without_tag[2 * WEIR_SPEC_NAME_MAX + 2]; /* of jobs that lack it: KEY, or KEY=GLOB,GLOB... whatever the case; "": of all */
    uint32_t nodes_above;           /* 0: any number */
    struct weir_dur duration_above; /* its max_duration; 0: any */
    struct weir_wall from;          /* holds from then; 0: always */
    struct weir_wall until;         /* and until then; 0: for ever */
    char reason[256];               /* for who is denied */
    uint64_t version;               /* of all policies, when it was set */
};

/* A job as policies see it. */
struct weir_policy_subject {
    const char *project;
    const char *user;
    const char *image; /* "": none */
    const struct weir_pair *tags;
    size_t n_tags;
    uint32_t nodes;
    struct weir_dur max_duration;
    struct weir_wall now;
};

/* From an object of JSON, whose keys were checked; name is the row's. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW. */
int weir_policy_read(const struct json_t *o, const char *name, const char *currency, struct weir_policy_row *ret, struct weir_err *err);
/* The same as an object; what is not given is left out. */
void weir_policy_write(const struct weir_policy_row *row, struct weir_json *j);
/* Does it ask for what only the job's file says: its image, its tags? */
bool weir_policy_asks_file(const struct weir_policy_row *row);
/* Puts rows in the order in which they are asked. */
void weir_policy_sort(struct weir_policy_row *row, size_t n);
/* Does the row take the job, whatever the place? */
bool weir_policy_takes(const struct weir_policy_row *row, const struct weir_policy_subject *s);
/* Does the row take every place? */
bool weir_policy_is_whole(const struct weir_policy_row *row);
/* When the next row begins or ends to hold, after now; WEIR_WALL_MAX: none does. */
struct weir_wall weir_policy_next(const struct weir_policy_row *row, size_t n, struct weir_wall now);
