/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Amazon EC2. Section of the configuration, `providers: aws:` (all keys optional; docs/guide/providers/aws.md):
 *
 *     regions          [AWS_REGION]  where machines are rented, in order of preference
 *     types            []            globs on instance types; empty: all of the catalogue
 *     spot, on_demand  true          which markets
 *     profile          AWS_PROFILE   of the shared files
 *     role_arn, external_id          a role to assume with the credentials that were found
 *     image            the deep learning base image of Ubuntu 24.04, by its SSM parameter; "ami-..." or "ssm:/..."; or by region
 *     subnets          {}            zone to subnet; empty: the default VPC
 *     security_groups  []
 *     instance_profile, key_name
 *     public_ip        true
 *     volume_gb        100           root disk; root_device /dev/sda1
 *     agent            installed program; default: from the broker
 *     before           shell commands run on each machine before the agent
 *     prices_every     5m            live spot prices
 *     price_max_age    1h
 *     calls_per_second 10
 *     page_size        1000
 *     endpoint         of all services: private regions and tests
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_ec2_provider;
