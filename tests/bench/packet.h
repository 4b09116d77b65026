/* SPDX-License-Identifier: GPL-2.0 */
/* What programs are run on: UDP from port 12345 to 53 */
#ifndef PACKET_H
#define PACKET_H

static unsigned char packet[64] = {
	[12] = 0x08, 0x00, [14] = 0x45, 0, 0, 50, [22] = 64, 17,
	[26] = 10, 0, 0, 1, 10, 0, 0, 2, [34] = 0x30, 0x39, 0, 53, 0, 30,
};

#endif
