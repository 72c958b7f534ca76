/* Addresses and protocols of the kernel's Bluetooth sockets (net/bluetooth/bluetooth.h of Linux). */
#ifndef RELENV_BLUETOOTH_H
#define RELENV_BLUETOOTH_H
#include <stdint.h>
#include <sys/socket.h>

#define BTPROTO_L2CAP 0
#define BTPROTO_HCI 1
#define BTPROTO_SCO 2
#define BTPROTO_RFCOMM 3

typedef struct {
    uint8_t b[6];
} __attribute__((packed)) bdaddr_t;
#endif
