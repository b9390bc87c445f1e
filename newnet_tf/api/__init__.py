"""The public functions that join several rooms, one file each. Import them from `newnet_tf`."""
