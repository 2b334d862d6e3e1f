/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading a provider's section of the configuration: a JSON object (made from YAML), or NULL where there is none. An absent key
 * leaves *ret as it is, so that the default stands there before. Errors are -WEIR_ECONFIG and name the key by its place,
 * "aws.spot_max_age: ...". Every key that a driver reads also stands in the list that it gives to weir_section_check.
 */

#include "cloud/provider.h"

/* An object with known keys only; an unknown one is an error with the nearest known. known ends with NULL. */
int weir_section_check(const struct json_t *section, const char *where, const char *const *known, struct weir_err *err);
/* Fails: "where.key: want". */
int weir_section_bad(struct weir_err *err, const char *where, const char *key, const char *want);

int weir_section_u64(const struct json_t *section, const char *where, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
                     struct weir_err *err);
int weir_section_u32(const struct json_t *section, const char *where, const char *key, uint32_t min, uint32_t max, uint32_t *ret,
                     struct weir_err *err);
int weir_section_bool(const struct json_t *section, const char *where, const char *key, bool *ret, struct weir_err *err);
/* At most 365 days. */
int weir_section_duration(const struct json_t *section, const char *where, const char *key, struct weir_dur *ret, struct weir_err *err);
/* "16G"; a bare number is in default_unit. */
int weir_section_bytes(const struct json_t *section, const char *where, const char *key, uint64_t default_unit, uint64_t *ret,
                       struct weir_err *err);
/* A number with at most so many places, scaled by 10^places. */
int weir_section_decimal(const struct json_t *section, const char *where, const char *key, int places, int64_t min, int64_t max, int64_t *ret,
                         struct weir_err *err);
/* A price per hour above 0. */
int weir_section_price(const struct json_t *section, const char *where, const char *key, int64_t *ret_micro, struct weir_err *err);
/* `currency`: the code of one, in capitals. */
int weir_section_currency(const struct json_t *section, const char *where, char ret[static 4], struct weir_err *err);
/* Not empty, of at most size - 1 bytes; a number will do too ("1.30" of a version), as it was written. */
int weir_section_text(const struct json_t *section, const char *where, const char *key, char *ret, size_t size, struct weir_err *err);
/* A list of at most max names, into rows of size bytes each; one name alone will do. */
int weir_section_names(const struct json_t *section, const char *where, const char *key, char *ret, size_t size, size_t max, size_t *ret_n,
                       struct weir_err *err);

/*
 * `endpoint`: where the provider's API is reached in place of its own address, for private regions and tests. https, or http to
 * this very host; without a slash at the end. ret stays "" where it is not given.
 */
int weir_section_endpoint(const struct json_t *section, const char *where, const char *key, char *ret, size_t size, struct weir_err *err);

/* May credentials be sent there? https, or http to this very host. */
bool weir_section_may_send(const char *url);

/*
 * A secret: from <key>_file of the section, or the first of the environment's variables that is set, or the first of the
 * files that exists ("~/" is the home directory). Space around it is taken off. Never from the section itself: configuration files
 * are shown and shared. env and files end with NULL and may be NULL. The caller frees *ret, after explicit_bzero.
 * Errors: -WEIR_ENOTFOUND (says where it was looked for), -WEIR_ECONFIG (a file that cannot be read, is empty, or that others may write).
 */
int weir_section_secret(const struct json_t *section, const char *where, const char *key, const struct weir_provider_env *penv,
                        const char *const *env, const char *const *files, char **ret, struct weir_err *err);
/* "~/x" -> "/home/me/x" by HOME; others as they are. False where it does not fit or HOME is not known. */
bool weir_section_path(const struct weir_provider_env *penv, const char *path, char *ret, size_t size);
/* A variable of the environment; NULL where it is not set, or empty. */
const char *weir_section_env(const struct weir_provider_env *penv, const char *name);
