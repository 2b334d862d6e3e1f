/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the catalogue, shared by its readers. */

#include "base/vec.h"
#include "cloud/catalogue.h"
#include "cloud/csv.h"
#include "cloud/exchange.h"


/* What all rows of a provider have in common. */
struct provider_facts {
    char name[WEIR_PROVIDER_SIZE];
    struct weir_dur bill_quantum;
    struct weir_dur bill_minimum;
    struct weir_dur boot_expected;
    struct weir_dur reclaim_notice;
    uint32_t reclaim_ppm_per_hour;
    int64_t egress_micro_per_gib;
};

struct catalogue_row {
    struct weir_offer offer;
    uint8_t basis;   /* enum weir_price_basis */
    uint8_t refusal; /* enum weir_price_refusal */
    uint16_t file;
    uint32_t line;
    char text[112]; /* of the refusal */
};

struct weir_catalogue {
    struct weir_gpu_table *gpus;
    char currency[4];
    struct {
        char currency[4];
        int64_t nano;
    } rate[WEIR_CATALOGUE_RATES_MAX];
    size_t n_rates;
    bool sealed;
    WEIR_VEC(char *) file;
    WEIR_VEC(struct provider_facts) provider;
    WEIR_VEC(struct catalogue_row) row; /* until sealed */
    WEIR_VEC(struct weir_catalogue_problem) problem;
    size_t problems_total;
    /* after seal */
    struct weir_offer *offer;
    uint8_t *basis; /* by the offer's index */
    size_t n_offers;
    WEIR_VEC(struct weir_refused_offer) refused;
};

/* The number of a new file name. Errors: -WEIR_ELIMIT. */
int weir_catalogue_file(struct weir_catalogue *c, const char *name, uint16_t *ret, struct weir_err *err);
/* In the ledger's currency, by the rate that was given; 0: none was. */
int64_t weir_catalogue_rate_of(const struct weir_catalogue *c, struct weir_sv currency);
/* An amount of a currency in the ledger's, rounded up; 0: no rate was given. */
int64_t weir_catalogue_amount(const struct weir_catalogue *c, const char *currency, int64_t micro);
/* The row's price in the currency that it names, which may be another than the ledger's: then converted, or refused. */
void weir_catalogue_exchange(const struct weir_catalogue *c, struct weir_sv currency, struct catalogue_row *row);
/* Notes that a line was not taken. */
void weir_catalogue_complain(struct weir_catalogue *c, uint16_t file, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The facts of a provider; cautious defaults where providers.csv does not have it. */
struct provider_facts weir_catalogue_facts(const struct weir_catalogue *c, struct weir_sv provider);
/* Fills in what the provider's facts say, the id and the GPU's memory where missing; then keeps the
 * row. Errors: -WEIR_ELIMIT. */
int weir_catalogue_keep(struct weir_catalogue *c, struct catalogue_row *row, struct weir_err *err);
/* Copies a name that must be short, printable and without blanks at its ends. */
int weir_catalogue_text(const char *what, struct weir_sv s, bool may_be_empty, char *ret, size_t size,
                        struct weir_err *err);
/* A price or size with any number of decimal places: those after the sixth are cut off. */
int weir_catalogue_decimal(const char *what, struct weir_sv s, int64_t max, int64_t *ret_micro, struct weir_err *err);
