# The clock of this machine is set.
def settime():
    pass
