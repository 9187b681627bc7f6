// Freshens pages. Every page works without it.
