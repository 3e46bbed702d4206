"""What the server answers: pages for people, ``/api/v1`` for programs; both call the services."""
