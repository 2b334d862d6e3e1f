/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What each role may do with each route, written down a second time: who adds a route says here as well whom it serves, or the
 * tests fail. And a request for each that works.
 */

#include "api/api_priv.h"

enum { ROUTE_ROLES = 7 };
extern const char *const route_roles[ROUTE_ROLES]; /* admin, operator, finance, user, viewer, agent, join */

enum route_may { ROUTE_MAY_NOT, ROUTE_MAY_OWN, ROUTE_MAY };
/* Fails the test where the route is not known here. */
enum route_may route_may(const struct api_route *r, size_t role);
/* A path that works, with that job and project; a body that works, NULL: none. */
const char *route_path(const struct api_route *r, const char *job, const char *project, char *buf, size_t size);
const char *route_body(const struct api_route *r);
