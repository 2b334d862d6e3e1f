/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Parsers for the small values that people and machines write. Each takes the whole piece, rejects
 * trailing garbage, is independent of the locale, and on failure leaves *ret alone and says in err
 * what was wrong ("'12x' is not a number").
 */

#include "err.h"
#include "money.h"
#include "str.h"
#include "wtime.h"

/* Errors of all: -WEIR_EINVAL (not of the form), -WEIR_EOVERFLOW (out of min..max). */

int weir_parse_u64(struct weir_sv s, uint64_t min, uint64_t max, uint64_t *ret, struct weir_err *err);
int weir_parse_i64(struct weir_sv s, int64_t min, int64_t max, int64_t *ret, struct weir_err *err);
/* true/false, yes/no, on/off, 1/0 in any case. */
int weir_parse_bool(struct weir_sv s, bool *ret, struct weir_err *err);
/* A decimal number scaled by 10^places: "2.5" with places 6 gives 2500000. More digits than places
 * are refused unless they are zero. An exponent is not understood. */
int weir_parse_decimal(struct weir_sv s, int places, int64_t *ret, struct weir_err *err);
/* A number as programs print floating point, with or without exponent; never NaN or an infinity. For figures of
 * traces and series: money and time are integers and have parsers of their own. */
int weir_parse_real(struct weir_sv s, double min, double max, double *ret, struct weir_err *err);
/* Money in units: "2.50", "$2.50", "2.50 EUR"; at most six places. ret_currency: the code that is named, "" where none is. */
int weir_parse_money(struct weir_sv s, int64_t *ret_micro, char ret_currency[static WEIR_CURRENCY_SIZE], struct weir_err *err);
/* The same where amounts are in one currency: one that names another is refused. */
int weir_parse_money_in(struct weir_sv s, const char *currency, int64_t *ret_micro, struct weir_err *err);
/* "90s", "1.5h", "36h", "1h30m", "2d", "500ms", or seconds as a bare number. Not negative. */
int weir_parse_duration(struct weir_sv s, struct weir_dur *ret, struct weir_err *err);
/* Slurm's --time: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS. */
int weir_parse_slurm_time(struct weir_sv s, struct weir_dur *ret, struct weir_err *err);
/* "64", "64G", "64GiB", "512MB", ...: K M G T are powers of 1024 as in Slurm and SkyPilot; "KB" etc.
 * too. A bare number is multiplied by default_unit. */
int weir_parse_bytes(struct weir_sv s, uint64_t default_unit, uint64_t *ret, struct weir_err *err);
/* "2026-11-22T19:42:26.123Z", an offset "+01:00", a space for the 'T', or a bare date (midnight). */
int weir_parse_time(struct weir_sv s, struct weir_wall *ret, struct weir_err *err);
/* "2026-11": its first day. The month after it is weir_date_next_month. */
int weir_parse_month(struct weir_sv s, struct weir_date *ret, struct weir_err *err);
struct weir_date weir_date_next_month(struct weir_date d);

/* Base64 without padding in the alphabet for URLs (RFC 4648, section 5). The bytes written, or -1: malformed or too long. */
long weir_base64url_decode(struct weir_sv text, unsigned char *buf, size_t size);
