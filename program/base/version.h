/*
 * base/version.h
 *	  The version, the same as the extension's (tools/check-versions.sh).
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#ifndef BATON_VERSION
#define BATON_VERSION "0.2.0"
#endif

#endif
