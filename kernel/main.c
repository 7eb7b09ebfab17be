// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-vmcrypt: encryption of virtual disks on a virtualization host.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include <linux/module.h>

#include "bounce.h"
#include "cipher.h"
#include "io.h"
#include "keys.h"
#include "netlink.h"
#include "seal.h"
#include "target.h"

static int __init vmcrypt_init(void)
{
	int r;

	r = vmcrypt_cipher_init();
	if (r)
		return r;
	r = vmcrypt_bounce_init();
	if (r)
		goto err_cipher;
	r = vmcrypt_io_init();
	if (r)
		goto err_bounce;
	r = vmcrypt_keys_init();
	if (r)
		goto err_io;
	r = vmcrypt_netlink_init();
	if (r)
		goto err_keys;
	r = vmcrypt_target_init();
	if (r)
		goto err_netlink;
	return 0;

err_netlink:
	vmcrypt_keys_close();
	vmcrypt_netlink_exit();
	vmcrypt_seal_exit();
err_keys:
	vmcrypt_keys_exit();
err_io:
	vmcrypt_io_exit();
err_bounce:
	vmcrypt_bounce_exit();
err_cipher:
	vmcrypt_cipher_exit();
	return r;
}

static void __exit vmcrypt_exit(void)
{
	vmcrypt_target_exit();
	vmcrypt_keys_close();
	vmcrypt_netlink_exit();
	vmcrypt_seal_exit();
	vmcrypt_keys_exit();
	vmcrypt_io_exit();
	vmcrypt_bounce_exit();
	vmcrypt_cipher_exit();
}

module_init(vmcrypt_init);
module_exit(vmcrypt_exit);

MODULE_DESCRIPTION("device-mapper target that encrypts virtual disks, keys by netlink");
MODULE_AUTHOR("The vmcrypt authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0.0");
MODULE_SOFTDEP("pre: cryptd aes xts");
