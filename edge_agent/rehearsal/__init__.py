"""The rehearsal: questions asked as a visitor would ask them, and a sheet of the answers for sign-off."""
