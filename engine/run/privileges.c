/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -Z USER: once everything is open, the process becomes that user for good.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

int privileges__become(const char *user, struct tl_error *ret_error)
{
	const struct passwd *pw;

	if (!user)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		snprintf(ret_error->what, sizeof(ret_error->what), "-Z %.64s: no such user", user);
		return -EINVAL;
	}
	if (initgroups(pw->pw_name, pw->pw_gid) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid)) {
		int err = -errno;

		snprintf(ret_error->what, sizeof(ret_error->what),
			 "-Z %.64s: cannot become that user: %s", user, strerror(-err));
		return err;
	}
	return 0;
}
