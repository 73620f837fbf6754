/*
 * polder/version.h - the numbers of the plugin ABI.
 *
 * Editing rule: removing, reordering or retyping anything in include/polder raises the major;
 * appending a slot, field, opcode, flag or status raises the minor. While the major is 0 the
 * interface is young: a plugin must have been built for the same major and may be older or newer
 * in the minor. 1.0 comes when CPU, Vulkan and the CUDA sources pass the op table.
 */
#ifndef POLDER_VERSION_H
#define POLDER_VERSION_H

#define PL_ABI_MAJOR 0
#define PL_ABI_MINOR 1

#define PL_VERSION "0.1.0" /* the product's */

#endif
