"""What computing on a device needs: row-keyed random numbers, batches that memory holds, the device itself."""
