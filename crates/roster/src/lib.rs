//! Groups of students, staff and parents, filled from the MIS.
