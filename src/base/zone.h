/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Calendar days and months of a time zone. A zone is read from the system's database (TZif, RFC 8536) into a value of
 * its own: the C library's zone is one for a whole process, and a server answers for several at a time. NULL stands for
 * UTC everywhere.
 *
 * Where clocks are put forward a day has 23 hours, where they are put back 25. A local time that is skipped counts as
 * the moment of the change; of one that comes twice the first counts.
 */

#include "err.h"
#include "wtime.h"

struct weir_zone;

enum weir_zone_unit { WEIR_ZONE_DAY, WEIR_ZONE_MONTH };

/* Reads the bytes of a TZif file. Errors: -WEIR_EINVAL. */
int weir_zone_parse(struct weir_zone **ret, const void *bytes, size_t n, struct weir_err *err);
/* "Europe/Berlin", from /usr/share/zoneinfo; *ret is NULL for "UTC". Errors: -WEIR_EINVAL, which names the zone. */
int weir_zone_load(struct weir_zone **ret, const char *name, struct weir_err *err);
void weir_zone_free(struct weir_zone *z);
void weir_zone_freep(struct weir_zone **z);

/* What is added to UTC there and then. */
int64_t weir_zone_offset_s(const struct weir_zone *z, struct weir_wall t);
/* The number of the day or month that t lies in, 0 being that of 1970-01-01 there. */
int64_t weir_zone_period(const struct weir_zone *z, enum weir_zone_unit unit, struct weir_wall t);
/* The first moment after t of a later day or month. */
struct weir_wall weir_zone_period_end(const struct weir_zone *z, enum weir_zone_unit unit, struct weir_wall t);
/* When clocks there show that. */
struct weir_wall weir_zone_to_wall(const struct weir_zone *z, struct weir_date local);
