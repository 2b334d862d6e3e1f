/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The catalogue: instance types with GPUs and their prices, read at run time from CSV files
 * (data/catalogue; columns in docs/guide/catalogue.md). Prices are not trusted because they stand
 * in a file: a row that is malformed, at zero, far from what the same GPU costs elsewhere, given
 * twice, or in a currency of which no rate is known is refused, with file, line and reason.
 *
 *     struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
 *     r = weir_catalogue_load_dir(c, dir, &err);
 *     weir_catalogue_seal(c);
 *     offers = weir_catalogue_offers(c, "aws", &n);
 *
 * A reload makes a new catalogue; offers that were borrowed from the old one go with it.
 */

#include "base/err.h"
#include "base/str.h"
#include "core/model.h"

enum {
    WEIR_CATALOGUE_FILE_BYTES_MAX = 32 << 20,
    WEIR_CATALOGUE_FILES_MAX = 256,
    WEIR_CATALOGUE_ROWS_MAX = 100000,
    WEIR_CATALOGUE_PROBLEMS_MAX = 1000, /* kept; further ones are counted */
    WEIR_CATALOGUE_PROVIDERS_MAX = 64,
    WEIR_CATALOGUE_AGE_DAYS_MAX = 400, /* of a price list, by default */
    WEIR_CATALOGUE_RATES_MAX = 64,
};

/* What kind of statement a price is. */
enum weir_price_basis {
    WEIR_PRICE_LIST,        /* the provider's list */
    WEIR_PRICE_MARKET,      /* seen on a market place at that date */
    WEIR_PRICE_ESTIMATE,    /* worked out from other figures; the source says how */
    WEIR_PRICE_ACCELERATOR, /* of the GPUs alone: the host they need costs extra */
    WEIR_PRICE_BASIS_MAX,
};

/* Why a row that could be read is not an offer. */
enum weir_price_refusal {
    WEIR_PRICE_REFUSED_NONE,
    WEIR_PRICE_REFUSED_NO_PRICE,    /* zero or less */
    WEIR_PRICE_REFUSED_IMPLAUSIBLE, /* far from the same GPU's usual price */
    WEIR_PRICE_REFUSED_DUPLICATE,   /* another row says the same with a later date */
    WEIR_PRICE_REFUSED_CURRENCY,    /* not the ledger's, and no rate of it is in force */
    WEIR_PRICE_REFUSED_MAX,
};

/* A row that was not taken. */
struct weir_catalogue_problem {
    const char *file; /* borrowed from the catalogue */
    uint32_t line;
    char text[160];
};

/* A row that could be read but is refused: for listings that show what was left out and why. */
struct weir_refused_offer {
    struct weir_offer offer;
    enum weir_price_basis basis;
    enum weir_price_refusal refusal;
    const char *file;
    uint32_t line;
    char text[112];
};

struct weir_catalogue;

/* gpus must outlive the catalogue; names that it does not know are added to it. currency is the
 * ledger's (three letters). Never NULL. */
struct weir_catalogue *weir_catalogue_new(struct weir_gpu_table *gpus, const char *currency);
void weir_catalogue_free(struct weir_catalogue *c);
/* Rows in that currency are taken from then on, at the rate. No more than WEIR_CATALOGUE_RATES_MAX are kept. */
void weir_catalogue_rate(struct weir_catalogue *c, const char *currency, int64_t rate_nano);

/*
 * Reads providers.csv and then every other *.csv of the directory, in the order of their names. Bad
 * rows become problems and do not fail the load.
 * Errors: -WEIR_ENOTFOUND (no such directory, or no catalogue in it), -WEIR_EIO, -WEIR_ELIMIT.
 */
int weir_catalogue_load_dir(struct weir_catalogue *c, const char *dir, struct weir_err *err);

/* One file of rows; name is for messages. Errors: -WEIR_EINVAL (not the columns of a catalogue),
 * -WEIR_ELIMIT. */
int weir_catalogue_load_rows(struct weir_catalogue *c, const char *name, struct weir_sv text, struct weir_err *err);
/* What is true of providers as a whole. Must come before their rows. Errors as above. */
int weir_catalogue_load_providers(struct weir_catalogue *c, const char *name, struct weir_sv text,
                                  struct weir_err *err);

/*
 * Imports a file in the columns of SkyPilot's catalogue for the named provider; Price becomes an
 * on-demand row and SpotPrice a spot row. as_of is the date of the prices, which such files do not
 * carry. Rows without an accelerator are passed over. *ret_taken: rows made.
 * Errors: -WEIR_EINVAL (columns, provider's name), -WEIR_ELIMIT.
 */
int weir_catalogue_load_skypilot(struct weir_catalogue *c, const char *name, struct weir_sv text, const char *provider,
                                 const char *source, struct weir_wall as_of, size_t *ret_taken, struct weir_err *err);

/* Checks the rows against each other and orders them. After this nothing more is loaded. */
void weir_catalogue_seal(struct weir_catalogue *c);

/* The offers of a provider (NULL: all), ordered by provider, region, type, zone and market. Borrowed
 * from the sealed catalogue. NULL and 0 where there is none. Ages are not looked at here. */
const struct weir_offer *weir_catalogue_offers(const struct weir_catalogue *c, const char *provider, size_t *ret_n);
/* The basis of an offer that weir_catalogue_offers gave. */
enum weir_price_basis weir_catalogue_basis(const struct weir_catalogue *c, const struct weir_offer *o);
const struct weir_refused_offer *weir_catalogue_refused(const struct weir_catalogue *c, size_t *ret_n);
/* *ret_total counts those beyond the kept ones too. */
const struct weir_catalogue_problem *weir_catalogue_problems(const struct weir_catalogue *c, size_t *ret_n,
                                                             size_t *ret_total);
struct weir_gpu_table *weir_catalogue_gpus(const struct weir_catalogue *c);

/* Writes the provider's offers (NULL: all) as a file that weir_catalogue_load_rows reads. */
void weir_catalogue_write(const struct weir_catalogue *c, const char *provider, struct weir_str *out);

/* The stable id of an offer: the same on every machine for the same provider, region, zone, type
 * and market. Never 0. */
uint64_t weir_offer_id(const struct weir_offer *o);

const char *weir_price_basis_name(enum weir_price_basis b);
