/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One suite for every driver of a real cloud: the promises of cloud/provider.h, each tried with one fault of the mock cloud switched on. A
 * program per provider gives a subject.
 */

#include "conformance.h"

struct clouds_subject {
    struct weir_conformance_subject base;
    const char *dialect;         /* of the mock */
    const char *const *options;  /* of the dialect; ends with NULL */
    const char *conf;            /* members of the section besides endpoint and times, with a comma at the end; "" */
    const char *const *endpoints; /* further keys that take the mock's address; ends with NULL; NULL: none */
    const char *const *types;    /* of machines that must be among the offers, or "-TYPE": must not; ends with NULL; NULL: not told */
    bool keys_expire;            /* credentials are fetched anew by the driver itself */
    bool late_refusal;           /* what fails inside the operation is the launch's own answer */
    bool tells_prices;           /* live */
    bool signs_time;             /* a clock that is wrong matters */
    bool keeps_tags;             /* the provider itself knows tokens, tags and pages: the driver is not one of cloud/rest.h */
    bool tells_stock;            /* what is out of stock is not among its offers */
    bool one_page;               /* its lists of machines come whole */
    bool leaves_nothing;         /* what was made beside machines goes by itself when they are gone */
    const char *denied;          /* what the mock can be told to deny, of which a look finds permissions or settings missing; NULL: nothing */
    const char *missing;         /* its name, as the look tells it */
    bool tells_spot;             /* prices are live for spot alone, by zone */
    size_t zones;                /* that an operation of the mock named "sizes" tells of the type: an offer for each; 0: none does */
    const char *const *part_of_quota;   /* operations of the mock that tell some of the quotas: the others stand without them; ends with NULL; NULL: none */
};

/* Runs the suite; returns the number of failed tests. */
int clouds_run(const struct clouds_subject *subject);
