"""The figures of the dashboard, which `shoal meter overview` prints too."""
