"""The broker's address on a command line, for both ends of the link."""

import argparse

from federated.link.keys import Key
from federated.link.mqtt import Address


def add_broker(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add what one needs to reach a broker."""
    parser.add_argument("--broker", required=required, help="mqtt://HOST:1883 or mqtts://HOST:8883")
    parser.add_argument("--ca", help="PEM file of the certificates to trust (default: the system's)")
    parser.add_argument("--cert", help="this end's own certificate, PEM, for a broker that demands one")
    parser.add_argument("--cert-key", help="its private key, PEM")


def address_of(args: argparse.Namespace, key: Key) -> Address:
    """The broker, with the name and the password that belong to the key.

    Raises:
        InputError: the address is none, or certificates come without TLS.
    """
    own = {"ca": args.ca, "cert": args.cert, "cert_key": args.cert_key}
    return Address.parse(args.broker, user=key.device, password=key.password, **own)
