"""The push job: a site's database to central, entities by natural key, streams by cursor."""
