"""The device link: messages between a coordinator and its devices over MQTT, without Flower.

`wire` makes bytes of a message, `chunks` divides them so that a broken transfer goes on where it stopped, `keys`
lets nobody speak for another, `channel` joins the three for one pair, and `hub` and `peer` are the two ends over
`mqtt`. `broker` runs the broker where there is none yet.
"""
