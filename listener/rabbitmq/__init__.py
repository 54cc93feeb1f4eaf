"""RabbitMQ: the forwarder, which takes a manager's notifications from its queue to the listener.

Owns everything that speaks AMQP. It never runs a hook. The verbs `forward` and `emit --amqp` call it.
"""
