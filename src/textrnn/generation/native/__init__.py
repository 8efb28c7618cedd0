"""The native kernel: steps of recurrent models in C, if it was built."""
