"""Check that the package installs as users install it: with the versions that Airflow's constraints pin.

Airflow's constraints files pin each package to the version that was the newest when that Airflow was released. This
check resolves all packages as of the day of the release, which gives the same versions.
"""
