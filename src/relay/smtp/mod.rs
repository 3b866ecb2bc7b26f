//! SMTP over lettre.
