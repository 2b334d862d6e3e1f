/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access tokens of Google: for a service account's key (a JWT signed with it), for a user's refresh token, or from the metadata
 * server of a machine at Google. Kept until five minutes before their end. Neither keys nor tokens appear in any text.
 */

#include "cloud/call.h"

struct gce_auth;

/*
 * Finds the credentials: the file that the section's service_account_file names, else GOOGLE_APPLICATION_CREDENTIALS, else gcloud's own
 * (~/.config/gcloud/application_default_credentials.json), else the metadata server. cloud is to be given to gce_auth_attach.
 * Errors: -WEIR_ECONFIG (a file that cannot be read or is of another kind).
 */
int gce_auth_open(struct gce_auth **ret, const struct weir_provider_env *env, const struct json_t *section, struct weir_err *err);
void gce_auth_free(struct gce_auth *a);
/* Where its calls go out. */
void gce_auth_attach(struct gce_auth *a, struct weir_cloud *cloud);
/* For struct weir_cloud_conf. */
struct weir_credential *gce_auth_credential(struct gce_auth *a);
/* The token; NULL where there is none yet. */
const char *gce_auth_token(const struct gce_auth *a);
/* The project that the credentials name; "" where they name none. */
const char *gce_auth_project(const struct gce_auth *a);
