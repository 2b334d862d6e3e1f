/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * XML answers as a tree: element names and texts, no attributes. Read by expat, which is loaded when the first answer comes. A document
 * type declaration is refused, so no entity but the five of XML is ever expanded; depth and number of elements are bounded.
 */

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { WEIR_XML_DEPTH_MAX = 32, WEIR_XML_ELEMENTS_MAX = 200000 };

struct weir_xml {
    const char *name; /* as written */
    const char *text; /* of this element itself, "" where there is none; space around it is taken off */
    const struct weir_xml *first; /* child */
    const struct weir_xml *next;  /* sibling */
};

/* *ret is the root, in the arena. Errors: -WEIR_EINVAL (not well-formed, a document type), -WEIR_ELIMIT, -WEIR_EUNSUPPORTED (no expat). */
int weir_xml_parse(struct weir_sv text, struct weir_arena *arena, const struct weir_xml **ret, struct weir_err *err);
/* The first element at "a/b/c" below the given one; NULL where there is none, or x is NULL. */
const struct weir_xml *weir_xml_at(const struct weir_xml *x, const char *path);
/* Its text; "" where there is none. */
const char *weir_xml_text(const struct weir_xml *x, const char *path);
