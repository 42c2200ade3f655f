"""The one way a component talks to the API server: REST, informers, work queues, leader election, events."""
