/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Providers' bills, plain or gzip, line by line in bounded memory: AWS Cost and Usage Report 2.0, FOCUS, Google Cloud's
 * detailed export as CSV or as JSON with an object a line, Azure's cost export. Which one it is, the columns tell. Every error names file, line and
 * column.
 */

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

struct weir_invoice;

struct weir_invoice_line {
    struct weir_sv
        resource;        /* as billed: "i-0abc", "//compute.../instances/7", "/subscriptions/.../vm1"; empty: none */
    struct weir_sv kind; /* "Usage", "Tax", "Credit", ... */
    struct weir_sv currency;
    struct weir_sv tags; /* as they stand there */
    struct weir_wall from;
    struct weir_wall to;
    int64_t nano;      /* billionths of the currency's unit, credits taken off */
    uint64_t identity; /* the same for the same line of another file: of resource, span, kind and what was sold, not of
                          the amount */
};

/* Errors: -WEIR_EINVAL where the columns are those of no bill that is known, and those of opening and reading. */
int weir_invoice_open(struct weir_invoice **ret, const char *path, struct weir_err *err);
void weir_invoice_freep(struct weir_invoice **v);
/* "AWS CUR 2.0", "FOCUS", ... */
const char *weir_invoice_format(const struct weir_invoice *v);
/* 1: a line, whose texts are borrowed until the next; 0: the end; or a negative code. */
int weir_invoice_next(struct weir_invoice *v, struct weir_invoice_line *ret, struct weir_err *err);
/* 0..1000 of the file. */
unsigned weir_invoice_permille(const struct weir_invoice *v);
/* Puts file and line before what err says. Returns code. */
int weir_invoice_fail(const struct weir_invoice *v, int code, struct weir_err *err);
